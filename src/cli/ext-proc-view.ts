import type { StatusReport } from '../api/status-schema.ts';
import { displayText, type Paint } from './terminal.ts';
import { formatAge } from './units.ts';

/** For whom ext_proc answers and where; nothing where that is our own Envoy, all is usual and nothing is wrong. */
export function extProcView({ extProc }: StatusReport, paint: Paint): string[] {
  if (
    extProc === null ||
    (extProc.profile === 'own' && extProc.tls === 'off' && extProc.problems.length === 0)
  )
    return [];
  const tls = extProc.tls === 'off' ? 'plaintext' : `TLS, ${extProc.tls}`;
  const modes = extProc.modes.map(({ mode, streams }) => `${displayText(mode)} ×${streams}`);
  const facts = [
    `ext_proc ${paint('bold', extProc.profile)} on ${displayText(extProc.grpc)} (${tls})`,
    ...(extProc.health === null ? [] : [`health on ${displayText(extProc.health)}`]),
    modes.length === 0 ? 'no stream yet' : `bodies ${modes.join(', ')}`,
  ];
  return [
    facts.join(' · '),
    ...extProc.problems.map(({ problem, count, lastAgeMs, from, remedy }) => {
      const last = `last ${formatAge(lastAgeMs)} ago${from === null ? '' : ` from ${displayText(from)}`}`;
      return `${paint('yellow', displayText(problem))} ×${count}, ${last}: ${displayText(remedy)}`;
    }),
  ];
}
