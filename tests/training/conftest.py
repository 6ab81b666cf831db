"""Each test starts without a state of accelerate."""

from accelerate_fixtures import fresh_accelerate, prepared_rows_in_a_folder

__all__ = ["fresh_accelerate", "prepared_rows_in_a_folder"]
