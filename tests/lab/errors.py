"""What can go wrong with the lab, and what keeps it from being there at all."""


class LabError(Exception):
    """The lab could not do what was asked."""


class UnavailableError(LabError):
    """This machine cannot run the lab; the text says what is missing."""
