// Ask the server, and read its server-sent events.

const keyName = "folio-key";

function headers() {
  const key = sessionStorage.getItem(keyName);
  return { "Content-Type": "application/json", ...(key ? { Authorization: "Bearer " + key } : {}) };
}

class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function refused(answer) {
  let message = "status " + answer.status;
  try { message = (await answer.json()).error.message || message; } catch { /* no JSON: the status says it */ }
  return new ServerError(message, answer.status);
}

async function fetchJson(path) {
  const answer = await fetch(path, { headers: headers() });
  if (!answer.ok) throw await refused(answer);
  return answer.json();
}

// Yields each event's JSON until the stream ends or `signal` aborts it.
async function* streamed(path, body, signal) {
  const answer = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify({ ...body, stream: true }), signal });
  if (!answer.ok) throw await refused(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ServerError("the server broke off", 0);
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (data === "[DONE]") return;
      if (!data) continue;
      const told = JSON.parse(data);
      if (told.error) throw new ServerError(told.error.message, 500);
      yield told;
    }
  }
}
