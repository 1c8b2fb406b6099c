import { describe, expect, it } from 'vitest';
import { Said } from '../../../src/agent/said.ts';
import { MemoryLog } from '../../support/memory-log.ts';

describe('what an agent says', () => {
  it('is said when it is new, whatever figures change in it', () => {
    const log = new MemoryLog();
    const said = new Said(log);
    said.warn('clock', {}, 'it is 30 s behind');
    said.warn('clock', {}, 'it is 31 s behind');
    said.info('clock', {}, 'it is right');
    said.warn('clock', {}, 'it is 32 s behind');
    expect(log.lines.map(({ message }) => message)).toEqual([
      'it is 30 s behind',
      'it is right',
      'it is 32 s behind',
    ]);
  });

  it('of several tools is kept apart, and said again when it comes back', () => {
    const log = new MemoryLog();
    const said = new Said(log);
    said.warnings('gpu', ['nvidia-smi hangs', 'rocm-smi fails']);
    said.warnings('gpu', ['rocm-smi fails', 'nvidia-smi hangs']);
    expect(log.messages('warn')).toEqual(['nvidia-smi hangs', 'rocm-smi fails']);
    said.warnings('gpu', ['rocm-smi fails']);
    said.warnings('gpu', ['nvidia-smi hangs', 'rocm-smi fails']);
    expect(log.messages('warn')).toEqual(['nvidia-smi hangs', 'rocm-smi fails', 'nvidia-smi hangs']);
  });
});
