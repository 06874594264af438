// A button beside every command that copies it. Where the clipboard is refused, the command is selected instead.
"use strict";
(() => {
  async function copied(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      return document.execCommand("copy");
    }
  }

  document.querySelectorAll(".command").forEach((place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${place.dataset.what}`);
    const said = document.createElement("span");
    said.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      said.textContent = await copied(place.querySelector("code")) ? "Copied" : "Selected: press Ctrl+C, or ⌘C on a Mac";
    });
    place.append(button, said);
  });
})();
