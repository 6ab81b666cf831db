"""The paper's claims, measured by anybody on two cores with the embedded data set."""
