"use strict";
// A key presses the button that names it in data-key, or goes to the field that does, unless something is being written.
document.addEventListener("keydown", (event) => {
  const writing = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && writing) {
    event.target.blur();
    return;
  }
  if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
  const wanted = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key.toLowerCase() && !one.closest("[inert]"));
  if (!wanted) return;
  event.preventDefault();
  if (wanted.matches("button")) {
    // One press is one judgement, however long the key is held.
    if (!event.repeat) wanted.click();
  } else {
    wanted.closest("details")?.setAttribute("open", "");
    wanted.focus();
  }
});
