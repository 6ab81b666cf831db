"""What search in stages loses, and what it saves, on 500 test videos of the embedded data set."""
