"use strict";
// Keep what goes on fresh: fetch this page every few seconds and put its part in place of the one shown, until nothing goes on any more.
// The page comes from this server with every text escaped, and a parsed document runs no script.
const EVERY = 3000;

async function refresh() {
  const shown = document.querySelector("[data-live]");
  if (!shown) return;
  // Whoever is reading with the keyboard there isn't interrupted.
  if (!document.hidden && !shown.contains(document.activeElement)) {
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(shown.id);
        // What is ticked stays ticked.
        const ticked = new Set([...shown.querySelectorAll("input:checked")].map((one) => one.value));
        fresh?.querySelectorAll("input[type=checkbox]").forEach((one) => { one.checked = ticked.has(one.value); });
        if (fresh) shown.replaceWith(fresh);
      }
    } catch {
      // The server is away for a moment, or for good; the page says what it last knew.
    }
  }
  setTimeout(refresh, EVERY);
}

setTimeout(refresh, EVERY);
