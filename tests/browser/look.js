// What a page looks like, asked of the browser that drew it. An object of functions.
(() => {
  const colour = text => {
    const found = text.match(/^rgba?\((\d+), (\d+), (\d+)(?:, ([\d.]+))?\)$/);
    if (!found) throw new Error(`not a colour: ${text}`);
    return [...found.slice(1, 4).map(Number), found[4] === undefined ? 1 : Number(found[4])];
  };
  const over = (front, back) =>
    [0, 1, 2].map(i => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
  // WCAG 2.2, "relative luminance" and "contrast ratio"
  const luminance = rgb => {
    const [r, g, b] = rgb.slice(0, 3).map(c => c / 255).map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const background = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(colour(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((back, front) => over(front, back), [255, 255, 255, 1]);
  };
  const visible = element => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const reachable = () =>
    [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")].filter(visible);

  return {
    open: () => document.querySelectorAll("details").forEach(one => (one.open = true)),

    // Each text that is drawn, with its contrast
    texts: () => {
      const found = [];
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const text = walker.currentNode.data.trim(), parent = walker.currentNode.parentElement;
        if (!text || !visible(parent)) continue;
        const back = background(parent);
        found.push({ text, ratio: ratio(over(colour(getComputedStyle(parent).color), back), back) });
      }
      return found;
    },

    // How far the page reaches to the right, and what reaches further than the window
    width: () => ({
      page: document.documentElement.scrollWidth,
      wide: [...document.body.querySelectorAll("*")]
        .filter(one => visible(one) && one.getBoundingClientRect().right > innerWidth + 0.5)
        .filter(one => !one.closest(".wide, pre, .unseen"))
        .map(one => one.outerHTML.slice(0, 80)),
    }),

    // How many things have to be reached with the Tab key; which of them it is at, and how one sees that
    reachable: () => reachable().length,
    focus: () => {
      const element = document.activeElement;
      if (element === document.body) return null;
      const style = getComputedStyle(element), box = element.getBoundingClientRect();
      return {
        number: reachable().indexOf(element), // -1: another, such as a box that scrolls
        what: element.outerHTML.slice(0, 80),
        line: style.outlineStyle,
        width: parseFloat(style.outlineWidth),
        ratio: ratio(colour(style.outlineColor), background(element.parentElement)),
        within: box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight,
      };
    },

    headings: () => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(one => Number(one.tagName[1])),
    language: () => document.documentElement.lang,
    // WCAG 2.2, 2.5.8: 24 by 24 pixels
    small: () => [...document.querySelectorAll("button, .button, input:not([type=hidden])")]
      .filter(one => visible(one) && Math.min(one.offsetWidth, one.offsetHeight) < 24).map(one => one.outerHTML.slice(0, 80)),
  };
})()
