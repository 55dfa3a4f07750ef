// The page: panes, settings, and the keyboard.

const by = (id) => document.getElementById(id);
const panes = [];
let models = [];
const media = new Media(by("held"), refresh, notice);
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens", "seed"];

function settings() {
  const chosen = {};
  for (const name of NUMBERS) {
    const field = by(name);
    // What is no number has an empty value, too.
    if (!field.checkValidity()) throw new Error(field.labels[0].textContent.trim() + ": " + field.validationMessage);
    if (field.value === "") continue;
    chosen[name] = field.valueAsNumber;
  }
  if (by("stop").value) chosen.stop = [by("stop").value];
  return chosen;
}

function notice(text) {
  by("notice").textContent = text;
  by("notice").hidden = !text;
}

function refresh() {
  const writing = panes.some((pane) => pane.writing);
  by("send").disabled = writing || !panes.length;
  by("stop-all").disabled = !writing;
  by("compare").setAttribute("aria-pressed", String(panes.length > 1));
  const reads = MEDIA.filter((medium) => panes.some((pane) => pane.reads(medium)));
  by("add-file").hidden = !reads.length;
  by("add-file").textContent = "Add " + reads.map((medium) => medium.noun).join(" or ");
  by("files").accept = reads.map((medium) => medium.accept).join(",");
}

// What a model that is asked can't read of these media; empty if each reads all.
function unread(asked) {
  for (const pane of panes) {
    const medium = asked.find((medium) => !pane.reads(medium));
    if (medium) return pane.model + " reads no " + medium.plural;
  }
  return "";
}

function addFiles(files) {
  if (!files.length) return;
  const known = files.filter(mediumOf);
  const refused = known.length === files.length ? "" : files.find((file) => !mediumOf(file)).name + " is no picture and no recording (WAV, FLAC, OGG)";
  const wrong = unread(known.map(mediumOf));
  notice(wrong || refused);
  if (!wrong && known.length) media.add(known);
}

function addPane(chosen) {
  const pane = new Pane(models, chosen, refresh, (question) => { by("question").value = question; send(); by("question").focus(); });
  panes.push(pane);
  by("panes").append(pane.node);
  refresh();
}

async function start() {
  try {
    models = (await fetchJson("/v1/models")).data.filter((model) => !model.folio || model.folio.abilities.includes("chat"));
    by("ask-key").hidden = true;
    notice(models.length ? "" : "No model here writes text.");
    if (models.length && !panes.length) addPane(models[0].id);
  } catch (error) {
    by("ask-key").hidden = error.status !== 401;
    notice(error.status === 401 && !sessionStorage.getItem(keyName) ? "" : error.message);
    if (error.status === 401) by("key").focus();
  }
  by("compare").disabled = !models.length;
  refresh();
}

async function send() {
  const question = by("question").value.trim();
  if (!question || panes.some((pane) => pane.writing)) return;
  const wrong = unread(media.held.map((file) => file.medium));
  if (wrong) { notice(wrong + "; remove them, or choose another model"); return; }
  let chosen;
  try { chosen = settings(); } catch (error) { notice(error.message); return; }
  notice("");
  by("question").value = "";
  const asking = [...panes], files = media.take();
  const asked = asking.map((pane) => pane.ask(question, chosen, by("system").value.trim(), files));
  refresh();
  const ended = await Promise.allSettled(asked);
  refresh();
  by("spoken").textContent = ended.flatMap((one, number) => one.status === "fulfilled" && panes.includes(asking[number]) ? [asking[number].model + ": " + one.value] : []).join("\n");
  if (ended.some((one) => one.status === "rejected" && one.reason.status === 401)) start();
}

function stopAll() {
  panes.forEach((pane) => pane.stop());
}

by("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
by("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") stopAll(); });
by("add-file").addEventListener("click", () => by("files").click());
by("files").addEventListener("change", () => { addFiles([...by("files").files]); by("files").value = ""; });
by("question").addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) { event.preventDefault(); addFiles(files); }
});
// A file that is dropped anywhere must not replace the page.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => { event.preventDefault(); addFiles([...event.dataTransfer.files]); });
by("stop-all").addEventListener("click", stopAll);
by("fresh").addEventListener("click", () => { panes.forEach((pane) => pane.forget()); by("question").focus(); });
by("show-settings").addEventListener("click", () => {
  by("settings").hidden = !by("settings").hidden;
  by("show-settings").setAttribute("aria-expanded", String(!by("settings").hidden));
});
by("compare").addEventListener("click", () => {
  if (panes.length > 1) { const last = panes.pop(); last.stop(); last.node.remove(); }
  else addPane((models.find((model) => model.id !== panes[0].model) || models[0]).id);
  refresh();
});
by("ask-key").addEventListener("submit", (event) => { event.preventDefault(); sessionStorage.setItem(keyName, by("key").value); start(); });
start();
