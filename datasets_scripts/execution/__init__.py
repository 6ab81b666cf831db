"""Work by the video, done elsewhere: by processes of this machine, or by the machines of a Ray cluster."""
