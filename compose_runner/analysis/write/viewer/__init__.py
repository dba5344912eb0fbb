"""A viewer of brain maps inside one HTML page: NiiVue, the template, the maps and two atlases, without a network.

The page needs no more of a Content-Security-Policy than :attr:`Viewer.policy`: two scripts by their hashes (the
viewer's own, and NiiVue, which is unpacked in the page and inserted), one style sheet by its hash, pictures from
``data:`` addresses (NiiVue's letters), and nothing from anywhere. It works in a sandboxed frame with ``allow-scripts``
alone.
"""

from __future__ import annotations

from compose_runner.analysis.write.viewer.fragment import (
    Viewer,
    ViewerMap,
    content_security_policy,
    source_hash,
    viewer,
)

__all__ = ["Viewer", "ViewerMap", "content_security_policy", "source_hash", "viewer"]
