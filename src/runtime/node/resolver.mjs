// Written by envo. Lets programs find the packages that are installed beside this file when they are not found from the
// file that asks for them: `import` knows no NODE_PATH, and what only one member of a workspace has stands in its copy.
import fs from "node:fs";
import modules from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const isPackage = (specifier) => !/^(\.{0,2}\/|[a-z][a-z0-9+.-]*:|#|\.{1,2}$)/i.test(specifier);
const isMissing = (error) => error?.code === "ERR_MODULE_NOT_FOUND" || error?.code === "MODULE_NOT_FOUND";

// The folders of members with their copies, the innermost first.
function readMembers() {
  try {
    const members = JSON.parse(fs.readFileSync(path.join(here, "members.json"), "utf8"));
    const real = ([source, copy]) => [fs.realpathSync(source) + path.sep, path.join(here, copy)];
    return members.map(real).sort((one, other) => other[0].length - one[0].length);
  } catch {
    return [];
  }
}
const members = readMembers();
const copyOf = (file) => members.find(([source]) => file.startsWith(source))?.[1];

// Where to look next: in the copy of the member that the file belongs to, then among what all share.
function substitutes(context) {
  const file = context.parentURL?.startsWith("file:") ? fileURLToPath(context.parentURL) : "";
  return [copyOf(file), here].filter(Boolean).map((folder) => pathToFileURL(path.join(folder, "package.json")).href);
}

// Node.js loads this very file in a thread of its own for hooks that are registered.
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!isPackage(specifier) || !isMissing(error)) throw error;
    for (const parentURL of substitutes(context)) {
      try {
        return await next(specifier, { ...context, parentURL });
      } catch {}
    }
    throw error;
  }
}

function resolveNow(specifier, context, next) {
  try {
    return next(specifier, context);
  } catch (error) {
    if (!isPackage(specifier) || !isMissing(error)) throw error;
    for (const parentURL of substitutes(context)) {
      try {
        return next(specifier, { ...context, parentURL });
      } catch {}
    }
    throw error;
  }
}

// `require` asks this for the folders it looks in before those of NODE_PATH.
function lookIntoCopies() {
  const before = modules._nodeModulePaths;
  if (members.length === 0 || typeof before !== "function") return;
  modules._nodeModulePaths = (folder) => {
    const copy = copyOf(folder + path.sep);
    const folders = before.call(modules, folder);
    return copy ? [...folders, path.join(copy, "node_modules")] : folders;
  };
}

const isHookThread = new URL(import.meta.url).search === "?hooks";
if (!isHookThread) {
  lookIntoCopies();
  if (modules.registerHooks) modules.registerHooks({ resolve: resolveNow });
  else modules.register?.(`${import.meta.url}?hooks`);
}
