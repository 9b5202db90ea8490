import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { playwright } from '@vitest/browser-playwright';
import { type Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const here = fileURLToPath(new URL('.', import.meta.url));
const target = join(here, '../fileflux/web/static');

/** Writes `name.gz` beside every text file, so that the hub compresses nothing while it serves. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    closeBundle() {
      for (const folder of [target, join(target, 'assets')]) {
        for (const name of readdirSync(folder)) {
          const path = join(folder, name);
          if (!/\.(css|html|js|svg)$/.test(name) || statSync(path).size < 1024) continue;
          writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
        }
      }
    },
  };
}

export default defineConfig({
  root: here,
  plugins: [compressed()],
  build: {
    outDir: target,
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    // A data: address in a style sheet would need a wider policy than images have.
    assetsInlineLimit: 0,
    // The page of the API is large and loaded by nobody who does not open it.
    chunkSizeWarningLimit: 2000,
    rolldownOptions: { input: { index: join(here, 'index.html'), docs: join(here, 'docs.html') } },
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8040', '/healthz': 'http://127.0.0.1:8040' } },
  test: {
    include: ['src/**/*.test.ts'],
    browser: {
      enabled: true,
      headless: true,
      provider: playwright({
        launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' },
      }),
      instances: [{ browser: 'chromium' }],
      screenshotFailures: false,
    },
  },
});
