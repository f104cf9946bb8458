import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const TRANSPORTS = '/engine.io-client/build/esm/transports/index.js';

/** The client of the sockets without its ways by HTTP requests: the server takes websockets alone. */
function websocketsAlone(): Plugin {
  let isFound = false;
  return {
    name: 'websockets-alone',
    apply: 'build',
    load(id) {
      if (!id.endsWith(TRANSPORTS)) return null;
      isFound = true;
      return "import { WS } from './websocket.js';\nexport const transports = { websocket: WS };";
    },
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((one) => (one.type === 'chunk' ? one.moduleIds : []));
      const isUsed = modules.some((id) => id.includes('/engine.io-client/'));
      if (isUsed && !isFound) this.error(`${TRANSPORTS} was not bundled: its place in the library is another one`);
    },
  };
}

/**
 * Two builds: the terminal for `ui/static`, and (`--mode dev`) the same terminal over made-up messages,
 * which the benchmark and a designer open without a node or a server.
 */
export default defineConfig(({ mode }) => ({
  base: mode === 'dev' ? './' : '/',
  plugins: [websocketsAlone()],
  build: {
    outDir: mode === 'dev' ? 'dev/dist' : '../static',
    emptyOutDir: true,
    target: 'es2022',
    license: { fileName: 'licenses.md' }, // of what is bundled: theirs ask for it
    assetsInlineLimit: 0, // the CSP allows no data: scripts or styles
    modulePreload: false, // there is one file to load later, and nothing that it waits for
    rolldownOptions: {
      input: mode === 'dev' ? ['dev/index.html'] : ['index.html'],
      // The libraries do not say so, but of a module whose exports nobody uses nothing is needed.
      treeshake: { moduleSideEffects: [{ test: /[\\/]node_modules[\\/]/, sideEffects: false }] },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
}));
