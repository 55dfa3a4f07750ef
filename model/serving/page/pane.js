// One model and its conversation.

const THINKING = /^\s*<(think|thinking)>([\s\S]*?)(?:<\/\1>|$)/;

class Pane {
  // `changed` is called when another model is chosen, `asked` with a question of the introduction that is pressed.
  constructor(models, chosen, changed, asked) {
    this.node = document.getElementById("pane").content.cloneNode(true).firstElementChild;
    this.select = this.node.querySelector("select");
    this.log = this.node.querySelector(".messages");
    this.about = this.node.querySelector(".about pre");
    this.introduction = this.node.querySelector(".introduction");
    this.asked = asked;
    this.history = [];
    this.abort = null;
    models.forEach((model) => this.select.append(new Option(model.id, model.id)));
    this.select.value = chosen;
    this.select.addEventListener("change", () => { this.tellAbout(); changed(); });
    this.models = new Map(models.map((model) => [model.id, model]));
    this.tellAbout();
  }

  get model() { return this.select.value; }

  get writing() { return this.abort !== null; }

  reads(medium) {
    const more = this.models.get(this.model).folio;
    return Boolean(more && more.abilities.includes(medium.ability));
  }

  async tellAbout() {
    const asked = this.model;
    this.log.setAttribute("aria-label", "Conversation with " + asked);
    const more = this.models.get(asked).folio || {};
    const facts = [more.context ? "context " + more.context + " tokens" : "", more.backend ? "computed by " + more.backend : "", more.fingerprint || ""];
    let told = { summary: "", questions: [] };
    try { told = await fetchJson("/v1/models/" + asked.split("/").map(encodeURIComponent).join("/") + "/about"); } catch (error) { told.lines = [error.message]; }
    if (asked !== this.model) return;
    this.about.textContent = [...told.lines, facts.filter(Boolean).join(", ")].join("\n");
    this.introduce(told.summary || told.lines[0] || "", told.questions);
  }

  // What stands where nothing was said yet: what the model is, and what it can be asked.
  introduce(summary, questions) {
    const buttons = questions.map((question) => {
      const button = element("button", question);
      button.type = "button";
      button.addEventListener("click", () => this.asked(question));
      return button;
    });
    this.introduction.replaceChildren(element("p", summary), ...(buttons.length ? [element("p", "Try:"), ...buttons] : []));
    this.introduction.hidden = this.history.length > 0;
  }

  forget() {
    this.stop();
    this.history = [];
    this.log.replaceChildren(this.introduction);
    this.introduction.hidden = false;
  }

  stop() {
    if (this.abort) this.abort.abort();
  }

  scroll(always) {
    const near = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
    if (near || always) this.log.scrollTop = this.log.scrollHeight;
  }

  async ask(question, settings, system, files) {
    // A conversation that is begun meanwhile has a history of its own.
    const history = this.history;
    this.introduction.hidden = true;
    history.push({ role: "user", content: content(question, files) });
    const said = element("div");
    said.className = "message user";
    said.append(...files.map(shown), element("div", question));
    this.log.append(said);
    const reply = new Reply(this.model);
    this.log.append(reply.node);
    this.scroll(true);
    this.abort = new AbortController();
    const messages = [...(system ? [{ role: "system", content: system }] : []), ...history];
    const body = { model: this.model, messages, ...settings, stream_options: { include_usage: true } };
    if (this.models.get(this.model).folio && this.models.get(this.model).folio.backend === "folio") body.truncation = "auto";
    let reason = "";
    try {
      for await (const told of streamed("/v1/chat/completions", body, this.abort.signal)) {
        const choice = told.choices && told.choices[0];
        if (choice && choice.delta) reply.add(choice.delta);
        if (choice && choice.finish_reason) reason = choice.finish_reason;
        if (told.usage) reply.used(told.usage);
        this.scroll();
      }
      reply.done(reason === "length" ? "cut off at its longest" : "");
    } catch (error) {
      if (error.name === "AbortError") reply.done("stopped");
      else reply.fail(error.message);
      if (error.status === 401) throw error;
    } finally {
      this.abort = null;
      // A question without an answer is not part of what the model is told next.
      if (reply.answer) history.push({ role: "assistant", content: reply.answer });
      else history.pop();
      this.scroll();
    }
    return reply.answer;
  }
}

class Reply {
  constructor(model) {
    this.text = this.reasoning = "";
    this.began = performance.now();
    this.node = element("div");
    this.node.className = "message assistant";
    this.fold = element("details");
    this.fold.hidden = true;
    this.fold.append(element("summary", "Thinking"), Object.assign(element("div"), { className: "thinking" }));
    this.body = Object.assign(element("div"), { className: "text" });
    this.foot = Object.assign(element("div"), { className: "foot" });
    this.note = element("span", model + " …");
    this.foot.append(this.note);
    this.node.append(this.fold, this.body, this.foot);
    this.model = model;
    this.drawing = false;
  }

  // What the reply says once what was thought is taken off.
  get answer() { return this.text.replace(THINKING, "").trimStart(); }

  get thought() {
    const found = THINKING.exec(this.text);
    return (this.reasoning + (found ? found[2] : "")).trim();
  }

  add(delta) {
    this.text += delta.content || "";
    this.reasoning += delta.reasoning_content || delta.reasoning || "";
    if (this.drawing) return;
    // One drawing a frame, however many tokens come.
    this.drawing = true;
    requestAnimationFrame(() => { this.drawing = false; this.draw(); });
  }

  draw() {
    this.fold.hidden = !this.thought;
    this.fold.lastElementChild.textContent = this.thought;
    this.body.replaceChildren(markdown(this.answer));
  }

  used(usage) {
    const seconds = (performance.now() - this.began) / 1000;
    this.usage = usage.completion_tokens + " tokens, " + (usage.completion_tokens / seconds).toFixed(0) + " a second";
  }

  done(note) {
    this.draw();
    this.note.textContent = [this.model, this.usage, note].filter(Boolean).join(" · ");
    if (!this.answer) return;
    const copy = element("button", "Copy");
    copy.type = "button";
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(this.answer);
        copy.textContent = "Copied";
      } catch {
        const range = document.createRange();
        range.selectNodeContents(this.body);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        copy.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
    this.foot.append(copy);
  }

  fail(message) {
    this.done("");
    this.note.textContent = this.model + ": " + message;
    this.note.className = "wrong";
    this.note.setAttribute("role", "alert");
  }
}
