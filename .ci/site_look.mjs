// Looks at every page of a built site: site_look.mjs CHROMIUM SITE SCREENSHOTS
// A page fails if it is wider than the window, or if text has too little contrast (WCAG AA: 4.5 to 1, large text 3 to 1).
import { chromium } from "playwright-core";
import { mkdirSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [executablePath, site, screenshots] = process.argv.slice(2);
const sizes = { phone: { width: 390, height: 844 }, desktop: { width: 1440, height: 900 } };
const pages = readdirSync(site).filter((name) => name.endsWith(".html") && name !== "404.html");
mkdirSync(screenshots, { recursive: true });

function inspect() {
  const problems = [];
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) problems.push(`${root.scrollWidth - root.clientWidth} pixels too wide`);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((part, at) => part * a + below[at] * (1 - a));
  const background = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(rgba(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    // A link to a heading appears only while the pointer is over it.
    if (!node.data.trim() || element.closest("script, style, noscript, svg, .headerlink, .md-search__output, [hidden]")) continue;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    if (style.visibility === "hidden" || style.opacity === "0" || !box.width || !element.checkVisibility({ opacityProperty: true })) continue;
    const behind = background(element);
    const [light, dark] = [luminance(over(rgba(style.color), behind)), luminance(behind)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const key = `${style.color} on ${behind.map(Math.round)}`;
    if (ratio < (large ? 3 : 4.5) && !seen.has(key)) {
      seen.add(key);
      problems.push(`contrast ${ratio.toFixed(2)} of "${node.data.trim().slice(0, 30)}" (${element.className || element.tagName}), ${key}`);
    }
  }
  return problems;
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
let failures = 0;
for (const [device, viewport] of Object.entries(sizes)) {
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce" });
    const requests = [];
    context.on("request", (request) => !request.url().startsWith("file:") && requests.push(request.url()));
    for (const name of pages) {
      const page = await context.newPage();
      await page.goto(pathToFileURL(resolve(join(site, name))).href);
      const scheme = await page.evaluate(() => document.body.getAttribute("data-md-color-scheme"));
      const problems = await page.evaluate(inspect);
      if (scheme !== (colorScheme === "dark" ? "slate" : "default")) problems.push(`is shown as ${scheme}`);
      problems.push(...requests.splice(0).filter((url) => !url.startsWith("data:")).map((url) => `loads ${url}`));
      for (const problem of problems) console.log(`${name}, ${device}, ${colorScheme}: ${problem}`);
      failures += problems.length;
      await page.screenshot({ path: join(screenshots, `${name.replace(".html", "")}-${device}-${colorScheme}.png`) });
      await page.close();
    }
    await context.close();
  }
}
await browser.close();
console.log(`${pages.length} pages on 2 widths in 2 colour schemes: ${failures} problems`);
process.exit(failures ? 1 : 0);
