"""The tables. A set's clips and their tags are rows, so an edit writes only what it changes."""

import datetime
from typing import Any

from advanced_alchemy.base import AdvancedDeclarativeBase, CommonTableAttributes
from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column


class Base(CommonTableAttributes, AdvancedDeclarativeBase):
    """Tables of their own ``MetaData``: nothing else that uses Advanced Alchemy's registry is migrated with them."""

    __abstract__ = True
    __bind_key__ = "kithara_tag_sets"


class TagSetRow(Base):
    """One tag set at its newest version."""

    __tablename__ = "tag_set"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """UUID version 7 as 32 hex digits: ids sort as ``created`` does."""
    version: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    graph_sha256: Mapped[str] = mapped_column(String(64))
    decision: Mapped[dict[str, Any]] = mapped_column(JSON)
    """PostgreSQL's JSON and not JSONB: the text of a number is kept, so a threshold comes back to the bit."""
    overflow: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime.datetime] = mapped_column(DateTimeUTC(timezone=True))
    changed: Mapped[datetime.datetime] = mapped_column(DateTimeUTC(timezone=True))


class ItemRow(Base):
    """One support clip. ``id`` is unique within its set only: an imported set may keep the ids of the original."""

    __tablename__ = "tag_set_item"
    # In this order: PostgreSQL would check the tags' foreign key by an index that begins with the set, clip by clip.
    __table_args__ = (UniqueConstraint("id", "tag_set_id"),)

    tag_set_id: Mapped[str] = mapped_column(ForeignKey("tag_set.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Ascending in the order of the set; gaps are left where clips were removed."""
    id: Mapped[str] = mapped_column(String(32))
    clip: Mapped[str] = mapped_column(Text)
    embedding: Mapped[bytes] = mapped_column(LargeBinary)
    """float32 (D,), little-endian."""
    seconds: Mapped[float]
    windows: Mapped[int]
    audio_sha256: Mapped[str] = mapped_column(String(64))


class ItemTagRow(Base):
    """One tag on one clip."""

    __tablename__ = "tag_set_item_tag"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tag_set_id", "position"], ["tag_set_item.tag_set_id", "tag_set_item.position"], ondelete="CASCADE"
        ),
        {"sqlite_with_rowid": False},
    )

    tag_set_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rank: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Place among the clip's tags."""
    name: Mapped[str] = mapped_column(Text)


class EditRow(Base):
    """What made a version."""

    __tablename__ = "tag_set_edit"
    __table_args__ = ({"sqlite_with_rowid": False},)

    tag_set_id: Mapped[str] = mapped_column(ForeignKey("tag_set.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    action: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime.datetime] = mapped_column(DateTimeUTC(timezone=True))
