# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxml trees: parse text from users and hosts safely, address nodes by simple paths, write them back.

Paths are libvirt's own element names joined by "/", relative to a parent, with an optional final "@attribute":
"cpu/@mode", "os/type", "@type", "." for the parent itself. A tag of another namespace has its prefix: "qemu:arg". One
of several elements may be named by an attribute: "sysinfo[@type='smbios']".
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

# The stubs of lxml differ between releases: its things are Any to the type checker.
etree: Any
try:
    from lxml import etree
except ImportError as error:
    etree = None
    LXML_ERROR: str | None = str(error)
else:
    LXML_ERROR = None

Element = Any

# The namespaces that a path may name: https://libvirt.org/drvqemu.html, and formatnetwork.html, formatstorage.html there.
NAMESPACES = {
    "qemu": "http://libvirt.org/schemas/domain/qemu/1.0",
    "dnsmasq": "http://libvirt.org/schemas/network/dnsmasq/1.0",
    "fs": "http://libvirt.org/schemas/storagepool/fs/1.0",
    "rbd": "http://libvirt.org/schemas/storagepool/rbd/1.0",
}
_NAMED = re.compile(r"\[@(\w+)='(\w+)'\]$")
_PREFIXES = {namespace: prefix for prefix, namespace in NAMESPACES.items()}


class BadXml(ValueError):
    """The text is not XML that this collection reads. The message says what and where, in one line."""


def parse(text: str) -> Element:
    """The root element of an XML text. Raises BadXml for bad syntax, a DTD or an entity of the text's own.

    Entities, DTDs and network access are off: the text may come from anybody (https://lxml.de/FAQ.html#how-do-i-use-lxml-safely-as-a-web-service-endpoint).
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_blank_text=True,
        remove_comments=True,
        huge_tree=False,
    )
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadXml("not well-formed XML: " + " ".join(str(error).split())) from error
    if root.getroottree().docinfo.doctype or root.getroottree().docinfo.internalDTD is not None:
        raise BadXml("a DOCTYPE is not allowed")
    if next(root.iter(etree.Entity), None) is not None:
        raise BadXml("an entity reference is not allowed")
    if next(root.iter("{http://www.w3.org/2001/XInclude}*"), None) is not None:
        raise BadXml("an XInclude is not allowed")
    return root


def only_read(text: str) -> Element:
    """The root element of a document of the host, for those who do not change it: parsed once, however many ask.

    Raises BadXml.
    """
    if text not in _READ:
        _READ[text] = parse(text)
    return _READ[text]


_READ: dict[str, Element] = {}


def text_of(root: Element) -> str:
    """The element as indented text."""
    return str(etree.tostring(root, pretty_print=True, encoding="unicode"))


def canonical(root: Element) -> bytes:
    """The same bytes for the same element, whatever its indentation, order of attributes or what encloses it (C14N)."""
    try:
        return bytes(etree.tostring(root, method="c14n", exclusive=True))
    except etree.C14NError:
        # libxml2 refuses namespaces that are relative URIs; kcli's metadata has the namespace "kvirt".
        from xml.etree import ElementTree  # noqa: PLC0415 - almost nobody needs it

        return ElementTree.canonicalize(text_of(root), strip_text=True).encode()


def clark(tag: str) -> str:
    """A path's tag as lxml names it: "qemu:arg" → "{http://…}arg"."""
    prefix, colon, name = tag.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{name}" if colon and prefix in NAMESPACES else tag


def _nsmap(tag: str) -> dict[str, str] | None:
    """What declares the prefix of a path's tag in the element itself."""
    prefix = tag.partition(":")[0]
    return {prefix: NAMESPACES[prefix]} if prefix in NAMESPACES else None


def plain(tag: str) -> str:
    """Lxml's name of a tag as a path has it; a namespace that no path may name stays as it is."""
    if not tag.startswith("{"):
        return tag
    namespace, _brace, name = tag[1:].partition("}")
    return f"{_PREFIXES[namespace]}:{name}" if namespace in _PREFIXES else tag


def element(tag: str, text: str | None = None, **attributes: str) -> Element:
    """A new element with this text and these attributes."""
    new = etree.Element(clark(tag), dict(attributes), nsmap=_nsmap(tag))
    new.text = text
    return new


def namespaced(tag: str, prefix: str, namespace: str) -> Element:
    """A new element of a namespace, written with this prefix."""
    return etree.Element(tag, nsmap={prefix: namespace})


@cache
def split(path: str) -> tuple[str, str | None]:
    """A path as (path of the element, name of the attribute or None)."""
    where, at, attribute = path.rpartition("@")
    if not at or "]" in attribute:
        return path, None
    return where.rstrip("/") or ".", attribute


@cache
def _finder(path: str) -> Any:
    """What finds the elements at a path. A compiled XPath takes half the time of lxml's find, with a "*" a tenth."""
    return etree.ETXPath(path) if "{" in path else etree.XPath(path, namespaces=NAMESPACES)


def find(parent: Element, path: str) -> Element | None:
    """The first element at this path, or None."""
    if path == ".":
        return parent
    found = _finder(path)(parent)
    return found[0] if found else None


def find_all(parent: Element, path: str) -> list[Element]:
    """All elements at this path."""
    if path == ".":
        return [parent]
    return list(_finder(path)(parent))


def get(parent: Element, path: str) -> str | None:
    """The text at this path (an attribute, or an element's text), or None when it is not there."""
    where, attribute = split(path)
    node = find(parent, where)
    if node is None:
        return None
    if attribute is not None:
        value = node.get(attribute)
        return None if value is None else str(value)
    return (node.text or "").strip()


def make(parent: Element, path: str) -> Element:
    """The element at this path, made together with the elements above it when it is not there yet."""
    node = parent
    for tag in [] if path == "." else path.split("/"):
        child = find(node, tag)
        if child is None:
            named = _NAMED.search(tag)
            plain_tag = _NAMED.sub("", tag)
            child = etree.SubElement(node, clark(plain_tag), nsmap=_nsmap(plain_tag))
            if named is not None:
                child.set(*named.groups())
        node = child
    return node


def put(parent: Element, path: str, text: str | None) -> None:
    """Write a text at this path; None makes an empty element."""
    where, attribute = split(path)
    node = make(parent, where)
    if attribute is not None:
        node.set(attribute, text or "")
    else:
        node.text = text


def erase(parent: Element, xpath: str) -> None:
    """Take all elements or attributes that this XPath finds out of a document, with what says nothing without them."""
    for found in _finder(xpath)(parent):
        node = found.getparent()
        if is_element(found):
            remove(found)
        else:
            node.attrib.pop(found.attrname, None)
        while node is not parent and is_bare(node):
            node, bare = node.getparent(), node
            remove(bare)


def remove(node: Element) -> None:
    """Take an element out of its parent."""
    node.getparent().remove(node)


def is_bare(node: Element) -> bool:
    """Whether an element holds nothing at all."""
    return not len(node) and not node.attrib and not (node.text or "").strip()


def by_tag(parent: Element) -> dict[str, list[Element]]:
    """The elements of a parent by their tag, in their order."""
    groups: dict[str, list[Element]] = {}
    for child in parent:
        if is_element(child):
            groups.setdefault(plain(child.tag), []).append(child)
    return groups


def is_element(node: Element) -> bool:
    """Whether the node is an element, not a processing instruction or a comment."""
    return isinstance(getattr(node, "tag", None), str)
