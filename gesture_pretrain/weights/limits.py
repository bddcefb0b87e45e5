"""Types of the numbers in a card; beyond these limits a card was edited or damaged."""

from typing import Annotated

from pydantic import Field

Size = Annotated[int, Field(ge=1, le=8192)]  # pixels
Channels = Annotated[int, Field(ge=1, le=65536)]
Classes = Annotated[int, Field(ge=1, le=100_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Mean = Annotated[float, Field(ge=-10, le=10)]
Std = Annotated[float, Field(ge=1e-4, le=100)]
NumBytes = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
