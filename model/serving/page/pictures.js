// Pictures that wait to be sent with the next message: chosen, dropped or pasted.

class Pictures {
  // `changed` is called when one is added or taken away, `failed` with what is wrong with a file.
  constructor(node, changed, failed) {
    this.node = node;
    this.changed = changed;
    this.failed = failed;
    this.held = [];
  }

  async add(files) {
    for (const file of files) {
      if (!file.type.startsWith("image/")) { this.failed(file.name + " is no picture"); continue; }
      try {
        this.held.push({ name: file.name || "picture", url: await dataUrl(file) });
      } catch { this.failed(file.name + " could not be read"); }
    }
    this.draw();
  }

  draw() {
    this.node.replaceChildren(...this.held.map((picture) => {
      const remove = element("button", "Remove");
      remove.type = "button";
      remove.setAttribute("aria-label", "Remove " + picture.name);
      remove.addEventListener("click", () => { this.held = this.held.filter((other) => other !== picture); this.draw(); });
      const one = element("span");
      one.className = "held";
      one.append(shownPicture(picture), remove);
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

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function shownPicture(picture) {
  const image = element("img");
  image.src = picture.url;
  image.alt = picture.name;
  return image;
}

// A message as the server takes it: text alone, or its pictures and then its text.
function content(question, pictures) {
  if (!pictures.length) return question;
  return [...pictures.map((picture) => ({ type: "image_url", image_url: { url: picture.url } })), { type: "text", text: question }];
}
