// Written by envo. Lets `import` find the packages that are installed beside this file when they are not found from the
// file that imports them.
import * as modules from "node:module";

const installed = new URL("./package.json", import.meta.url).href;
const isPackage = (specifier) => !/^(\.{0,2}\/|[a-z][a-z0-9+.-]*:|#|\.{1,2}$)/i.test(specifier);
const isMissing = (error) => error?.code === "ERR_MODULE_NOT_FOUND" || error?.code === "MODULE_NOT_FOUND";

// Node.js loads this very file in a thread of its own for hooks that are registered.
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!isPackage(specifier) || !isMissing(error)) throw error;
    return next(specifier, { ...context, parentURL: installed }).catch(() => {
      throw error;
    });
  }
}

function resolveNow(specifier, context, next) {
  try {
    return next(specifier, context);
  } catch (error) {
    if (!isPackage(specifier) || !isMissing(error)) throw error;
    try {
      return next(specifier, { ...context, parentURL: installed });
    } catch {
      throw error;
    }
  }
}

const isHookThread = new URL(import.meta.url).search === "?hooks";
if (!isHookThread) {
  if (modules.registerHooks) modules.registerHooks({ resolve: resolveNow });
  else modules.register?.(`${import.meta.url}?hooks`);
}
