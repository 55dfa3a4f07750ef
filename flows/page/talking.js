"use strict";
// Ask a question and show the replies as they are written; then the page itself is loaded again, with the buttons that judge them.
// Every text is set as text, so nothing that a model says is HTML.
const by = (id) => document.getElementById(id);

function problem(words) {
  by("problem").textContent = words;
  by("problem").hidden = !words;
}

async function refusal(answer) {
  const text = await answer.text();
  const page = new DOMParser().parseFromString(text, "text/html");
  return page.querySelector("main .failure")?.textContent || text;
}

async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const whole = held.split("\n");
    held = whole.pop();
    for (const line of whole) yield JSON.parse(line);
  }
}

async function ask(form) {
  const replies = [...document.querySelectorAll(".reply")];
  by("asked").textContent = by("question").value;
  replies.forEach((reply) => { reply.textContent = ""; });
  by("state").textContent = "Waiting for the first word. A model that was not asked for a while is loaded first, which takes some seconds.";
  by("writing").hidden = false;
  const apart = document.querySelectorAll(".judge, .ask");
  apart.forEach((one) => { one.inert = one.hidden = true; });
  by("stop").focus();
  let ended = "The page broke off; ask again.", turn = 0;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), credentials: "same-origin" });
    if (!answer.ok) throw new Error(await refusal(answer));
    for await (const told of lines(answer)) {
      if (told.text) {
        replies[told.of].textContent += told.text;
        by("state").textContent = "Writing.";
      }
      if (told.error) ended = told.error;
      if (told.turn) turn = told.turn;
    }
  } catch (error) {
    ended = error.message;
  }
  if (turn) {
    location.replace(`${location.pathname}?turn=${turn}#newest`);
    return;
  }
  apart.forEach((one) => { one.inert = one.hidden = false; });
  by("writing").hidden = true;
  problem(ended);
  by("question").focus();
}

const form = by("ask");
if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    problem("");
    if (by("question").value.trim()) ask(form);
  });
  by("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  const stop = () => fetch(by("stop").dataset.stop, { method: "POST", credentials: "same-origin" });
  by("stop").addEventListener("click", stop);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !by("writing").hidden) stop(); });
}
