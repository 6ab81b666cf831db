"""The room that travels to the Hub: siblings and third-party imports only."""
