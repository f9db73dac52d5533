"""Looking at a page in Chromium, and noting whatever it complains of or asks the network for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_DRAWN = """() => {
  const places = [...document.querySelectorAll("[data-chart]")];
  return places.length > 0 && places.every((place) => "drawn" in place.dataset);
}"""


@dataclass(slots=True)
class Looking:
    """Windows on pages. `complaints` are console errors and exceptions; `requests` addresses."""

    browser: Browser
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def at(
        self,
        path: Path,
        *,
        width: int = 1280,
        scheme: Literal["light", "dark"] = "light",
        scripts: bool = True,
    ) -> Page:
        """The page at this path, once all its charts are drawn."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=scripts,
        )
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._note(message))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())
        if scripts:
            page.wait_for_function(_DRAWN, timeout=120_000)
        return page

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()

    def _note(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)
