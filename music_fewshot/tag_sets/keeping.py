"""Make, show, edit and delete tag sets."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from common.errors import Conflict, Invalid, Stale, Unknown
from common.http.forms import File
from common.runtime.base import Call
from common.runtime.models import Models
from contracts.models import ModelCard
from contracts.music_fewshot import (
    EditList,
    ExportedTagSet,
    ListOptions,
    NewItem,
    NewItems,
    NewTagSet,
    TagPatch,
    TagSet,
    TagSetList,
    TagSetPatch,
)
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.service import dimensions, reference
from music_fewshot.tag_sets import describe, edits, transfer
from music_fewshot.tag_sets.content import Change, Content, Item, Stored
from music_fewshot.tag_sets.indexes import build, entry
from music_fewshot.tag_sets.parts import Parts

LONGEST_DETAIL = 500
"""Characters of what the list of edits says of one."""


class Keeper:
    """Every method raises Unavailable while the store does not answer, and Unknown for an id that there is not.

    ``expected`` is the version that an edit is for, None for any; where another is the newest, Stale.
    """

    def __init__(self, models: Models, parts: Parts) -> None:
        self._models, self._parts = models, parts
        # Reading a hostile file may take many times its size: one at a time.
        self._importing = asyncio.Semaphore(1)

    async def create(self, new: NewTagSet, files: Sequence[File], call: Call) -> TagSet:
        """Of labelled clips. Raises Invalid, Unknown (the model), NotReady, and what ``Embedder.embed`` raises."""
        edits.check_items(new.items, (file.name for file in files), "form.tag_set")
        await self._parts.opening.store()
        card = self._parts.embedder.card(new.model, "form.tag_set.model")
        items = await self._items(card, new.items, files, call)
        return await self._create(_new_content(new, card, items), "create", f"{len(items)} clips")

    async def page(self, options: ListOptions) -> TagSetList:
        """Oldest first."""
        store = await self._parts.opening.store()
        found = await store.page(options.limit + 1, options.after)
        shown = tuple(map(describe.summary, found[: options.limit]))
        return TagSetList(tag_sets=shown, next=shown[-1].id if len(found) > options.limit else None)

    async def version(self, id: str) -> int:  # noqa: A002
        """The newest."""
        return await (await self._parts.opening.store()).version(id)

    async def show(self, id: str) -> TagSet:  # noqa: A002
        """The newest version."""
        found = await self._parts.entry(id)
        return await self._parts.described(found)

    async def edits(self, id: str) -> EditList:  # noqa: A002
        """Newest first."""
        return EditList(edits=tuple(await (await self._parts.opening.store()).edits(id)))

    async def update(self, id: str, expected: int | None, patch: TagSetPatch) -> TagSet:  # noqa: A002
        """Name, description, decision, overflow."""
        given = ", ".join(f for f in patch.__struct_fields__ if getattr(patch, f) is not None) or "nothing"
        return await self._edit(id, expected, lambda content: edits.updated(content, patch), "update", given)

    async def delete(self, id: str, expected: int | None) -> None:  # noqa: A002
        """With its edits."""
        await (await self._parts.opening.store()).delete(id, expected)

    async def require(self, id: str, expected: int | None) -> None:  # noqa: A002
        """What an edit checks too, before megabytes are uploaded and embedded for nothing."""
        version = await self.version(id)
        if expected not in (None, version):
            raise Stale(f"the tag set is at version {version}; read it again and repeat the request for what it is now")

    async def add(self, id: str, expected: int | None, new: NewItems, files: Sequence[File], call: Call) -> TagSet:  # noqa: A002
        """More labelled clips. Raises Invalid, Conflict (the model), and what ``Embedder.embed`` raises."""
        edits.check_items(new.items, (file.name for file in files), "form.items")
        content = (await self._parts.entry(id)).stored.content
        card = self._parts.embedder.pinned(content.model, content.graph_sha256)
        items = await self._items(card, new.items, files, call)
        names = ", ".join(item.clip for item in items)
        return await self._edit(id, expected, lambda now: edits.added(now, items), "add-items", names)

    async def remove(self, id: str, expected: int | None, item: str) -> TagSet:  # noqa: A002
        """Without one clip. Raises Conflict: it is the only one."""
        clips = (one.clip for one in (await self._parts.entry(id)).stored.content.items if one.id == item)
        detail = next(clips, item)
        return await self._edit(id, expected, lambda content: edits.removed(content, item), "remove-item", detail)

    async def rename(self, id: str, expected: int | None, tag: str, patch: TagPatch) -> TagSet:  # noqa: A002
        """Another name for a tag, or one of two. Raises Conflict: there is one of that name, and no word of merging."""
        merges = patch.name != tag and patch.name in (await self._parts.entry(id)).tags
        action, detail = "merge-tags" if merges else "rename-tag", f"{tag} -> {patch.name}"
        return await self._edit(id, expected, lambda content: edits.renamed(content, tag, patch), action, detail)

    async def export(self, id: str) -> tuple[Stored, bytes]:  # noqa: A002
        """The newest version as a file. Raises Conflict: too large."""
        stored = (await self._parts.entry(id)).stored
        return stored, await asyncio.to_thread(transfer.exported, stored.content)

    async def import_(self, file: bytes) -> TagSet:
        """A tag set of its own. Raises Malformed, Invalid, and Conflict: no model here has the file's graph."""
        await self._parts.opening.store()
        async with self._importing:
            said = await asyncio.to_thread(transfer.described, file)
            card = self._model_of(said)
            content = await asyncio.to_thread(transfer.imported, file, said, reference(card), dimensions(card))
        return await self._create(content, "import", f"{len(content.items)} clips from a file of {said.model}")

    async def _create(self, content: Content, action: str, detail: str) -> TagSet:
        matcher = await asyncio.to_thread(lambda: build(edits.checked(content)))
        store = await self._parts.opening.store()
        return await self._made(await store.create(content, action, _short(detail)), matcher)

    async def _edit(self, id: str, expected: int | None, change: Change, action: str, detail: str) -> TagSet:  # noqa: A002
        made: list[TagIndex] = []

        def checked(content: Content) -> Content:
            after = change(content)
            made.append(build(after))  # raises where there are too many label combinations
            return after

        store = await self._parts.opening.store()
        return await self._made(await store.edit(id, expected, checked, action, _short(detail)), made[-1])

    async def _made(self, stored: Stored, matcher: TagIndex) -> TagSet:
        found = await asyncio.to_thread(entry, stored, matcher)
        self._parts.indexes.keep(found)
        return await self._parts.described(found)

    async def _items(
        self, card: ModelCard, new: Sequence[NewItem], files: Sequence[File], call: Call
    ) -> tuple[Item, ...]:
        content = {file.name: file for file in files}
        embedded = await self._parts.embedder.embed(card, [content[item.clip] for item in new], call)
        return tuple(
            Item(secrets.token_hex(16), i.clip, tuple(sorted(i.tags)), e.embedding, e.seconds, len(e.windows), e.sha256)
            for i, e in zip(new, embedded, strict=True)
        )

    def _model_of(self, said: ExportedTagSet) -> ModelCard:
        """A served version with the file's graph: first the one of the same name. Raises NotReady, Conflict."""
        others = (f"{model.name}@{version}" for model in self._models.summaries() for version in model.versions)
        for ref in (said.model, *others):
            try:
                card = self._parts.embedder.card(ref, "model")
            except (Unknown, Invalid):
                continue
            if card.graph_sha256 == said.graph_sha256:
                return card
        raise Conflict(
            f"the file's embeddings come from {said.model} with the graph {said.graph_sha256[:12]}..., which is not "
            "served here; publish that model version here, or make the tag set anew from its clips"
        )


def _new_content(new: NewTagSet, card: ModelCard, items: tuple[Item, ...]) -> Content:
    kept: dict[str, Any] = {f: getattr(new, f) for f in ("name", "description", "decision", "overflow")}
    return Content(**kept, model=reference(card), graph_sha256=card.graph_sha256, items=items)


def _short(detail: str) -> str:
    return detail if len(detail) <= LONGEST_DETAIL else detail[: LONGEST_DETAIL - 3] + "..."
