import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/support/reporter.ts'],
    // Real Envoys, Ollamas and timers share two cores: one file at a time keeps their timings honest.
    fileParallelism: false,
    // Real processes on a shared machine: what fails once in CI must fail twice to count.
    retry: process.env.CI === 'true' ? 1 : 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
