import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The kernel suite needs root and namespaces of its own: npm run test:kernel.
    exclude: ['test/kernel/**', 'node_modules/**'],
    testTimeout: 60_000,
  },
});
