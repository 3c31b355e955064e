// Draws the conversation: one block per turn, what has been heard dark, what is still to be said pale.

import { strip } from "./trace.js";

export class Captions {
  constructor(list, names) {
    Object.assign(this, { list, names });
    this.blocks = new Map();
  }

  clear() {
    this.blocks.clear();
    this.list.replaceChildren();
  }

  /** Draws a turn, new or changed. `pathMs`: see trace.js. */
  draw(turn, pathMs = 0) {
    const stays = turn.text || turn.failed;
    let block = this.blocks.get(turn.id);
    if (!stays && !block) return;
    const atEnd = this.isAtEnd();
    if (!block) {
      block = this.block(turn);
      this.blocks.set(turn.id, block);
      this.list.append(block.item);
    }
    this.words(block, turn);
    block.item.dataset.done = String(turn.done);
    if (turn.segments && !block.strip) {
      block.strip = strip(turn.segments, pathMs);
      block.item.append(block.strip);
    }
    if (atEnd) this.toEnd();
  }

  block(turn) {
    const item = document.createElement("li");
    item.className = `turn ${turn.who}`;
    item.dataset.who = turn.who;
    item.dataset.item = turn.id;
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = this.names[turn.who];
    const text = document.createElement("p");
    const heard = document.createElement("span");
    heard.className = "heard";
    const ahead = document.createElement("span");
    ahead.className = "ahead";
    text.append(heard, ahead);
    item.append(name, text);
    return { item, heard, ahead };
  }

  words({ item, heard, ahead }, turn) {
    const known = turn.who === "user" ? turn.text.length : turn.heard;
    let said = turn.text.slice(0, known);
    let unsaid = turn.text.slice(known);
    if (turn.cut) {
      said = said ? `${said.replace(/[\s,;:–—-]+$/, "")} —` : "—";
      unsaid = "";
    }
    if (turn.failed) {
      said = turn.who === "user" ? "That could not be understood." : said || "That could not be answered.";
      unsaid = "";
    }
    item.classList.toggle("failed", turn.failed);
    heard.textContent = said;
    ahead.textContent = unsaid;
  }

  isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.list;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
  }
}
