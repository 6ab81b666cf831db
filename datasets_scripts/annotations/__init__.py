"""What the data sets beside this folder are made of: reading, checking and finding files, and the base of the builders.

Users need none of it by name. A loader makes a plan (:mod:`.plan`) out of the annotation files that it finds
(:mod:`.folder`); the builder (:mod:`.builder`) carries it out.
"""
