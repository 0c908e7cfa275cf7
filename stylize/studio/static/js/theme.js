// Light and dark: what the system prefers, until the button says otherwise.

import { icon } from "./dom.js";

const NAMES = { system: "as the system", light: "light", dark: "dark" };

function apply(theme, button) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.title = `Colours of the page: ${NAMES[theme]}`;
  button.setAttribute("aria-label", button.title);
}

export function startTheme(button) {
  let theme = localStorage.getItem("stylize-theme");
  if (!(theme in NAMES)) theme = "system";
  button.append(icon("theme"));
  apply(theme, button);
  button.addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
    theme = theme !== "system" ? "system" : dark ? "light" : "dark";
    localStorage.setItem("stylize-theme", theme);
    apply(theme, button);
  });
}
