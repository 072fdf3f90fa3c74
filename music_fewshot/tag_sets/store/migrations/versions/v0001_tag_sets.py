"""Tag sets, their clips, the clips' tags, and the edits."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "tag_set",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("graph_sha256", sa.String(64), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=False),
        sa.Column("overflow", sa.String(16), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tag_set"),
    )
    op.create_table(
        "tag_set_item",
        sa.Column("tag_set_id", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("clip", sa.Text(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("windows", sa.Integer(), nullable=False),
        sa.Column("audio_sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("tag_set_id", "position", name="pk_tag_set_item"),
        sa.UniqueConstraint("id", "tag_set_id", name="uq_tag_set_item_id"),
        sa.ForeignKeyConstraint(
            ["tag_set_id"], ["tag_set.id"], name="fk_tag_set_item_tag_set_id_tag_set", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "tag_set_item_tag",
        sa.Column("tag_set_id", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tag_set_id", "position", "rank", name="pk_tag_set_item_tag"),
        sa.ForeignKeyConstraint(
            ["tag_set_id", "position"],
            ["tag_set_item.tag_set_id", "tag_set_item.position"],
            name="fk_tag_set_item_tag_tag_set_id_tag_set_item",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tag_set_edit",
        sa.Column("tag_set_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tag_set_id", "version", name="pk_tag_set_edit"),
        sa.ForeignKeyConstraint(
            ["tag_set_id"], ["tag_set.id"], name="fk_tag_set_edit_tag_set_id_tag_set", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
