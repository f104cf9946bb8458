import { defineConfig } from 'vitest/config';

/**
 * Two builds: the terminal for `ui/static`, and (`--mode dev`) the same terminal over made-up messages,
 * which the benchmark and a designer open without a node or a server.
 */
export default defineConfig(({ mode }) => ({
  base: mode === 'dev' ? './' : '/',
  build: {
    outDir: mode === 'dev' ? 'dev/dist' : '../static',
    emptyOutDir: true,
    target: 'es2022',
    license: { fileName: 'licenses.md' }, // of what is bundled: theirs ask for it
    assetsInlineLimit: 0, // the CSP allows no data: scripts or styles
    modulePreload: false, // there is one file to load later, and nothing that it waits for
    rolldownOptions: {
      input: mode === 'dev' ? ['dev/index.html'] : ['index.html'],
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
}));
