import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Modules of others in whose place a smaller one does, by the end of their id. */
const REPLACED: Record<string, string> = {
  // The server takes websockets alone: no ways by HTTP requests.
  '/engine.io-client/build/esm/transports/index.js': "import { WS } from './websocket.js';\nexport const transports = { websocket: WS };",
  // What is loaded later has no styles of its own (`cssCodeSplit`) and no imports that could be fetched ahead.
  'vite/preload-helper.js': 'export const __vitePreload = (load) => load();',
};

/** Put them there; a build in which one of them is found no more fails. */
function smaller(mode: string): Plugin {
  const missing = new Set(mode === 'dev' ? [] : Object.keys(REPLACED));
  return {
    name: 'smaller-modules',
    apply: 'build',
    enforce: 'pre',
    load(id) {
      const end = Object.keys(REPLACED).find((one) => id.endsWith(one));
      if (end === undefined) return null;
      missing.delete(end);
      return REPLACED[end];
    },
    generateBundle() {
      if (missing.size) this.error(`no such module any more: ${[...missing].join(', ')}`);
    },
  };
}

/**
 * Two builds: the terminal for `ui/static`, and (`--mode dev`) the same terminal over made-up messages,
 * which the benchmark and a designer open without a node or a server.
 */
export default defineConfig(({ mode }) => ({
  base: mode === 'dev' ? './' : '/',
  plugins: [smaller(mode)],
  build: {
    outDir: mode === 'dev' ? 'dev/dist' : '../static',
    emptyOutDir: true,
    target: 'es2022',
    license: { fileName: 'licenses.md' }, // of what is bundled: theirs ask for it
    assetsInlineLimit: 0, // the CSP allows no data: scripts or styles
    modulePreload: false,
    cssCodeSplit: false,
    rolldownOptions: {
      input: mode === 'dev' ? ['dev/index.html'] : ['index.html'],
      // The libraries do not say so, but of a module whose exports nobody uses nothing is needed.
      treeshake: { moduleSideEffects: [{ test: /[\\/]node_modules[\\/]/, sideEffects: false }] },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
}));
