/* What is asked of a page about itself: each function returns a list of what is wrong. */
globalThis.checks = (() => {
  /** The red, green, blue and opacity of a colour as the browser writes computed ones. */
  function channels(colour) {
    const numbers = colour.match(/[\d.]+/g).map(Number);
    return numbers.length === 3 ? [...numbers, 1] : numbers;
  }

  /** The colour of what lies over a ground that is opaque. */
  function over([r, g, b, opacity], ground) {
    return [r, g, b].map((channel, i) => opacity * channel + (1 - opacity) * ground[i]);
  }

  /** The relative luminance of WCAG 2.2. */
  function luminance(colour) {
    const [r, g, b] = colour.map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  /** The contrast ratio of WCAG 2.2. */
  function contrast(a, b) {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  }

  /** What an element stands on: the backgrounds of all that it is in, from the outermost on. */
  function groundOf(element) {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(channels(getComputedStyle(at).backgroundColor));
    const canvas = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
    return layers.reduce((ground, layer) => over(layer, ground), canvas);
  }

  function isShown(element) {
    return element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !element.closest(":disabled, .still");
  }

  const named = (element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""}`;

  /** Text has 4.5 : 1, or 3 : 1 where it is large; curves have 3 : 1. */
  function lowContrast() {
    const problems = new Set();
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement;
      if (texts.currentNode.data.trim() === "" || ["SCRIPT", "STYLE"].includes(element.tagName) || !isShown(element)) continue;
      const style = getComputedStyle(element);
      const colour = element instanceof SVGElement ? style.fill : style.color;
      const ground = groundOf(element);
      const ratio = contrast(over(channels(colour), ground), ground);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
      if (ratio < (large ? 3 : 4.5)) problems.add(`${named(element)} has a contrast of ${ratio.toFixed(2)}: ${element.textContent.slice(0, 30)}`);
    }
    for (const line of document.querySelectorAll(".logo-chart-line")) {
      if (!isShown(line) || line.closest('[aria-pressed="false"]')) continue;
      const ground = groundOf(line);
      const ratio = contrast(over(channels(getComputedStyle(line).stroke), ground), ground);
      if (ratio < 3) problems.add(`a curve has a contrast of ${ratio.toFixed(2)}: ${getComputedStyle(line).stroke}`);
    }
    return [...problems];
  }

  /** The page is no wider than the window, so that nobody scrolls sideways to read. */
  function tooWide() {
    const [has, is] = [document.documentElement.clientWidth, document.documentElement.scrollWidth];
    if (is <= has) return [];
    const widest = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > has + 1);
    return [`the page is ${is} pixels wide in ${has}: ${widest.slice(0, 3).map(named).join(", ")}`];
  }

  /** Headings go down one level at a time, and tables and pictures say what they are; each landmark is there once. */
  function badStructure(landmarks = ["main", "header", "nav", "footer"]) {
    const problems = [];
    const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(({ tagName }) => Number(tagName[1]));
    levels.forEach((level, i) => {
      if (level > (levels[i - 1] ?? 0) + 1) problems.push(`h${level} follows h${levels[i - 1]}`);
    });
    if (levels.filter((level) => level === 1).length !== 1) problems.push("there is not one h1");
    for (const landmark of landmarks) {
      if (document.querySelectorAll(`body > ${landmark}`).length !== 1) problems.push(`there is not one ${landmark}`);
    }
    for (const table of document.querySelectorAll("table:not([aria-hidden] *)")) {
      if (!table.caption?.textContent) problems.push("a table has no caption");
      if (table.querySelector("th:not([scope])")) problems.push(`a head has no scope in: ${table.caption?.textContent}`);
    }
    for (const image of document.images) if (!image.alt) problems.push("a picture has no alternative text");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    if (new Set(ids).size !== ids.length) problems.push("two elements have one id");
    for (const link of document.querySelectorAll('a[href^="#"]')) {
      if (!document.getElementById(link.hash.slice(1))) problems.push(`${link.hash} leads nowhere`);
    }
    return problems;
  }

  return { lowContrast, tooWide, badStructure };
})();
