"""The option `identities`, which several modules take alike."""


class ModuleDocFragment:
    """Documentation that modules extend."""

    DOCUMENTATION = r"""
options:
  identities:
    description: The identities this host must have.
    type: list
    elements: dict
    required: true
    suboptions:
      identity:
        description: The name of the identity, C(service@host).
        type: str
        required: true
      spiffe_id:
        description: The SPIFFE ID its certificate must carry.
        type: str
        required: true
      dns_names:
        description: The DNS names its certificate must carry.
        type: list
        elements: str
        required: true
      lifetime:
        description: The longest life of its certificate, in seconds.
        type: int
        required: true
      directory:
        description: The directory of the instance.
        type: path
        required: true
      owner:
        description: The user whose files these are; who runs the module unless said.
        type: str
"""
