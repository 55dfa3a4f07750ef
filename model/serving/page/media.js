// Pictures and recordings that wait to be sent with the next message: chosen, dropped or pasted.

const MEDIA = [
  { ability: "pictures", noun: "picture", plural: "pictures", accept: "image/*", named: /^image\//, ending: /$^/ },
  // Browsers don't agree on what they call these, nor know all of them.
  { ability: "sounds", noun: "recording", plural: "recordings", accept: ".wav,.flac,.ogg,.oga", named: /^audio\/(x-|vnd\.)?(wav|wave|flac|ogg)$/, ending: /\.(wav|flac|ogg|oga)$/i },
];

function mediumOf(file) {
  return MEDIA.find((medium) => medium.named.test(file.type) || medium.ending.test(file.name));
}

class Media {
  // `changed` is called when one is added or taken away, `failed` with what is wrong with a file.
  constructor(node, changed, failed) {
    this.node = node;
    this.changed = changed;
    this.failed = failed;
    this.held = [];
  }

  async add(files) {
    for (const file of files) {
      const medium = mediumOf(file);
      try {
        const url = await dataUrl(file), format = formatOf(file);
        // What the browser has no name for it would not play.
        const known = medium.ability === "sounds" ? "data:audio/" + format + url.slice(url.indexOf(";")) : url;
        this.held.push({ medium, format, name: file.name || medium.noun, url: known });
      } catch { this.failed(file.name + " could not be read"); }
    }
    this.draw();
  }

  draw() {
    this.node.replaceChildren(...this.held.map((file) => {
      const remove = element("button", "Remove");
      remove.type = "button";
      remove.setAttribute("aria-label", "Remove " + file.name);
      remove.addEventListener("click", () => { this.held = this.held.filter((other) => other !== file); this.draw(); });
      const one = element("span");
      one.className = "held";
      one.append(shown(file), remove);
      return one;
    }));
    this.node.hidden = !this.held.length;
    this.changed();
  }

  // Returns those that wait, and holds none any more.
  take() {
    const taken = this.held;
    this.held = [];
    this.draw();
    return taken;
  }
}

// Which of the server's names a recording's format has.
function formatOf(file) {
  const told = file.type + " " + file.name.toLowerCase();
  return /flac/.test(file.type) || /\.flac$/.test(told) ? "flac" : /ogg/.test(file.type) || /\.og[ga]$/.test(told) ? "ogg" : "wav";
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

// A picture, or a player with the recording's name.
function shown(file) {
  if (file.medium.ability === "pictures") return Object.assign(element("img"), { src: file.url, alt: file.name });
  const figure = element("figure"), player = Object.assign(element("audio"), { src: file.url, controls: true, preload: "metadata" });
  player.setAttribute("aria-label", file.name);
  figure.append(player, element("figcaption", file.name));
  return figure;
}

// A file as a part of a message.
function part(file) {
  if (file.medium.ability === "pictures") return { type: "image_url", image_url: { url: file.url } };
  return { type: "input_audio", input_audio: { data: file.url.slice(file.url.indexOf(",") + 1), format: file.format } };
}

// A message as the server takes it: text alone, or its files and then its text.
function content(question, files) {
  if (!files.length) return question;
  return [...files.map(part), { type: "text", text: question }];
}
