"""HTTP routes of the music domain: tag sets."""

import os
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import unquote_to_bytes

from litestar import Response, Router, delete, get, patch, post
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from common.errors import Malformed
from common.http.allow import allowing
from common.http.app import Domain, TimedResponse
from common.http.bodies import AnyRequest, Bytes, JsonBody, Query, takes
from common.http.conditions import CONDITIONAL, entity_tag, if_match, not_modified
from common.http.exchange import exchange
from common.http.forms import Files, FilesAndOptions, JsonAndFiles
from common.http.openapi import ALSO, REFUSES
from common.http.room import Room
from common.runtime.models import Models
from common.settings import Settings
from contracts.media import AUDIO_LIMITS, AUDIO_TYPES, MIB
from contracts.music_fewshot import (
    MAX_EXPORT,
    MAX_UPLOAD,
    TAG_SET_FILE,
    EditList,
    ListOptions,
    NewItems,
    NewTagSet,
    SelfCheck,
    TagOptions,
    TagPatch,
    TagResponse,
    TagSet,
    TagSetList,
    TagSetPatch,
)
from music_fewshot.service import Embedder
from music_fewshot.tag_sets.asking import Asker
from music_fewshot.tag_sets.indexes import Indexes
from music_fewshot.tag_sets.keeping import Keeper
from music_fewshot.tag_sets.opening import Opening
from music_fewshot.tag_sets.parts import Parts
from music_fewshot.tag_sets.store import default_url

CLIPS_SECONDS = 120.0
"""Uploads of many clips get so long: a minute of music takes a core about two seconds."""
UPLOADS = 256 * MIB
"""Bytes of all clips that are in hand at once: a form takes about three times its size while it is read."""
PATH = "/v1/music"

CLIPS = Files(AUDIO_TYPES, AUDIO_LIMITS.bytes)
TO_TAG = FilesAndOptions(TagOptions, CLIPS, MAX_UPLOAD)
PAGE = Query(ListOptions)
FILE = Bytes(TAG_SET_FILE, MAX_EXPORT)
EDIT: dict[str, Any] = {CONDITIONAL: True, REFUSES: (409,)}


def routes(models: Models, settings: Settings) -> Domain:
    """``/v1/music/...`` over the embeddings among these models. Raises OperatorError for a wrong database URL."""
    opening = Opening(settings.database or default_url(os.environ))
    parts, room = Parts(Embedder(models), opening, Indexes()), Room(UPLOADS)
    tag_sets = Router(
        "/tag-sets",
        route_handlers=[*_keeping(Keeper(models, parts), settings, room), *_asking(Asker(parts), room)],
        tags=["music"],
    )
    return Domain(Router(PATH, route_handlers=[tag_sets]), (opening,))


def _keeping(keeper: Keeper, settings: Settings, room: Room) -> list[Any]:
    new = JsonAndFiles("tag_set", NewTagSet, CLIPS, MAX_UPLOAD, settings.json_bytes)
    more = JsonAndFiles("items", NewItems, CLIPS, MAX_UPLOAD, settings.json_bytes)
    changes, tag_changes = JsonBody(TagSetPatch, settings.json_bytes), JsonBody(TagPatch, settings.json_bytes)

    @post("/", opt=takes(new) | {REFUSES: (409,)}, status_code=HTTP_201_CREATED, summary="Make a tag set")
    async def create_tag_set(request: AnyRequest) -> Response[TagSet]:
        """Of labelled clips: `tag_set` names each clip and its tags, the clips are further parts of the form."""
        with _upload(request, room):
            body, files = await new.read(request)
            return _created(await keeper.create(body, files, exchange(request).call))

    @get("/", opt=takes(PAGE), summary="List the tag sets")
    async def list_tag_sets(request: AnyRequest) -> TagSetList:
        """Oldest first, page by page."""
        return await keeper.page(PAGE.read(request))

    @get("/{id:str}", opt={ALSO: {304: None}}, summary="Show a tag set")
    async def show_tag_set(request: AnyRequest) -> Response[TagSet]:
        """Its tags, clips, figures and warnings, and as `ETag` its version. `If-None-Match` saves what is known."""
        version = await keeper.version(_id(request))
        if not_modified(request, version):
            return TimedResponse(None, status_code=304, headers={"etag": entity_tag(version)})
        return _versioned(await keeper.show(_id(request)))

    @patch("/{id:str}", opt=takes(changes) | EDIT, summary="Change a tag set")
    async def update_tag_set(request: AnyRequest) -> Response[TagSet]:
        """Its name, description, decision or overflow; what is not given stays."""
        expected = if_match(request)
        return _versioned(await keeper.update(_id(request), expected, await changes.read(request)))

    @delete("/{id:str}", opt=EDIT, status_code=HTTP_204_NO_CONTENT, summary="Delete a tag set")
    async def delete_tag_set(request: AnyRequest) -> None:
        """With all its versions; nothing brings it back but an exported file."""
        await keeper.delete(_id(request), if_match(request))

    @post("/{id:str}/items", opt=takes(more) | EDIT, status_code=HTTP_200_OK, summary="Add clips")
    async def add_items(request: AnyRequest) -> Response[TagSet]:
        """`items` names each clip and its tags, the clips are further parts of the form."""
        expected = if_match(request)
        await keeper.require(_id(request), expected)
        with _upload(request, room):
            body, files = await more.read(request)
            return _versioned(await keeper.add(_id(request), expected, body, files, exchange(request).call))

    @delete("/{id:str}/items/{item:str}", opt=EDIT, status_code=HTTP_200_OK, summary="Remove a clip")
    async def remove_item(request: AnyRequest) -> Response[TagSet]:
        """Tags that no other clip carries go with it."""
        return _versioned(await keeper.remove(_id(request), if_match(request), request.path_params["item"]))

    @patch("/{id:str}/tags/{tag:path}", opt=takes(tag_changes) | EDIT, summary="Rename a tag, or merge two")
    async def rename_tag(request: AnyRequest) -> Response[TagSet]:
        """The tag stands in the path, percent-encoded. With `merge` its clips carry the other tag from now on."""
        expected = if_match(request)
        tag = _tag(request)
        return _versioned(await keeper.rename(_id(request), expected, tag, await tag_changes.read(request)))

    # The router takes slashes off the end of a path, and a tag may have nothing else.
    rename_slash = patch("/{id:str}/tags", include_in_schema=False)(rename_tag.fn)

    @get("/{id:str}/edits", summary="List the edits of a tag set")
    async def list_edits(request: AnyRequest) -> EditList:
        """What made each version, newest first."""
        return await keeper.edits(_id(request))

    @get("/{id:str}/export", opt={REFUSES: (409,)}, media_type=TAG_SET_FILE, summary="Export a tag set")
    async def export_tag_set(request: AnyRequest) -> Response[bytes]:
        """One safetensors file with the embeddings, tags and settings; the audio is in none of it."""
        stored, file = await keeper.export(_id(request))
        name = f"tag-set-{stored.id}-v{stored.version}.safetensors"
        headers = {"content-disposition": f'attachment; filename="{name}"', "etag": entity_tag(stored.version)}
        return Response(file, media_type=TAG_SET_FILE, headers=headers)

    @post("/import", opt=takes(FILE) | {REFUSES: (409,)}, status_code=HTTP_201_CREATED, summary="Import a tag set")
    async def import_tag_set(request: AnyRequest) -> Response[TagSet]:
        """An exported file becomes a tag set of its own, where the embedding that it was made with is served."""
        with _upload(request, room):
            return _created(await keeper.import_(await FILE.read(request)))

    return [
        allowing("/", "GET", "POST"),
        allowing("/{id:str}", "DELETE", "GET", "PATCH"),
        create_tag_set,
        list_tag_sets,
        show_tag_set,
        update_tag_set,
        delete_tag_set,
        add_items,
        remove_item,
        rename_tag,
        rename_slash,
        list_edits,
        export_tag_set,
        import_tag_set,
    ]


def _asking(asker: Asker, room: Room) -> list[Any]:
    @post("/{id:str}/tag", opt=takes(TO_TAG) | {REFUSES: (409,)}, status_code=HTTP_200_OK, summary="Tag clips")
    async def tag_clips(request: AnyRequest) -> TagResponse:
        """One clip as the body, or a form of one or many; with the reasons (`explain`) and by pieces (`segments`)."""
        with _upload(request, room):
            files, options = await TO_TAG.read(request)
            return await asker.tag(_id(request), files, options, exchange(request).call)

    @get("/{id:str}/self-check", opt={REFUSES: (409, 504)}, summary="Check a tag set against itself")
    async def check_tag_set(request: AnyRequest) -> SelfCheck:
        """Every support clip tagged by the others, under each rule: F1 per rule and tag, and what is confused."""
        return await asker.self_check(_id(request), exchange(request).call)

    return [tag_clips, check_tag_set]


def _id(request: AnyRequest) -> str:
    return request.path_params["id"]


def _tag(request: AnyRequest) -> str:
    """From the path as it was sent: in the decoded one a ``/`` of the name is like one that divides."""
    sent: bytes = request.scope["raw_path"]
    try:
        return unquote_to_bytes(sent.partition(b"/tags/")[2]).decode()
    except UnicodeDecodeError:
        raise Malformed("the tag in the path is not UTF-8 text; percent-encode it as UTF-8") from None


def _upload(request: AnyRequest, room: Room) -> AbstractContextManager[None]:
    """Around what reads and uses a large body: more time than other requests have, and room in memory."""
    exchange(request).allow(CLIPS_SECONDS)
    return room.held(request, MAX_UPLOAD)


def _versioned(tag_set: TagSet) -> Response[TagSet]:
    return TimedResponse(tag_set, headers={"etag": entity_tag(tag_set.summary.version)})


def _created(tag_set: TagSet) -> Response[TagSet]:
    location = f"{PATH}/tag-sets/{tag_set.summary.id}"
    return TimedResponse(tag_set, headers={"etag": entity_tag(tag_set.summary.version), "location": location})
