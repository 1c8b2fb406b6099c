import { fadedFailureRate, failureRateAfter } from './failure-rate.ts';
import type { HealthParams } from './params.ts';
import { clearModel, isFailing, strikeModel } from './stuck.ts';
import type { FailureReason, Health, ModelKey, Observation } from './types.ts';

/** A node that served a request so lately is not down, whatever its polls say. */
const LIVE_TRUST_MS = 10_000;
/** It served while a poll that timed out was waiting: the poll says nothing. A little more than a poll may take. */
const SERVES_NOW_MS = 4_000;
/** `servedAt` moves in steps, so that a busy node's record does not change with every request. */
const SERVED_STEP_MS = 1_000;
/** Each such time in service forgives one flap. */
const FLAP_DECAY_MS = 60_000;
const MAX_FLAPS = 16;
const BUSY_MS = 1_000;
const MAX_BUSY_MS = 60_000;

type AttemptFailed = Extract<Observation, { kind: 'attempt_failed' }>;
type PollFailed = Extract<Observation, { kind: 'poll_failed' }>;
type Status = Health['status'];

/**
 * How much of a live failure is the node's fault. `dead`: nobody is there; `downAfter` in a row make it down. `shaky`:
 * cut connections make it suspect only, as one request may crash what serves it. `none`: see the failure rate and the
 * stuck models; neither a client's mistake nor one frozen runner may take a node away from everybody.
 */
const LIVE_BLAME: Readonly<Record<FailureReason, 'dead' | 'shaky' | 'none'>> = {
  refused: 'dead',
  connect_timeout: 'dead',
  dns: 'dead',
  tls: 'dead',
  reset: 'shaky',
  truncated: 'shaky',
  unexplained: 'shaky',
  timeout: 'none',
  bad_answer: 'none',
  server_error: 'none',
  in_band_error: 'none',
  busy: 'none',
  model_missing: 'none',
};

/** How long a node that failed must behave before it is ready: doubles with every flap but the first. */
export function readmissionMs(flaps: number, params: HealthParams): number {
  return Math.min(params.readmitMaxMs, params.readmitAfterMs * 2 ** Math.max(0, flaps - 1));
}

/**
 * A poll answered. It ends a row of failed polls, but not one of failed requests: these come from Envoy, and what
 * clients meet outranks what we meet. After `readmissionMs` of undisturbed polls such a node has another try, yet keeps
 * its strikes until it serves or slow start is over: one more failure, and it is down for twice as long.
 */
export function healthAfterPoll(health: Health, params: HealthParams, now: number): Health {
  if (health.status === 'unknown') return { ...enter(health, 'ready', now), strikes: 0, goodSince: now };
  const isProven = health.status === 'ready' && now - health.since >= params.slowStartMs;
  const strikes = health.lastFailure?.source !== 'live' || isProven ? 0 : health.strikes;
  const isSame = health.goodSince !== undefined && strikes === health.strikes;
  const next = isSame ? health : { ...health, strikes, goodSince: health.goodSince ?? now };
  return readmitted(next, params, now);
}

/** A request was served: the strongest evidence there is. A node that was down still has its time to serve. */
export function healthAfterServed(
  health: Health,
  model: ModelKey,
  params: HealthParams,
  now: number,
): Health {
  const isSame =
    health.status === 'ready' &&
    health.strikes === 0 &&
    health.failureRate === 0 &&
    health.goodSince !== undefined &&
    !health.stuckModels.has(model) &&
    health.servedAt !== undefined &&
    now - health.servedAt < SERVED_STEP_MS;
  if (isSame) return health;
  const next: Health = {
    ...health,
    strikes: 0,
    goodSince: health.goodSince ?? now,
    failureRate: failureRateAfter(fadedFailureRate(health, now), undefined),
    servedAt: now,
    stuckModels: clearModel(health.stuckModels, model),
  };
  if (next.status === 'down') return readmitted(enter(next, 'suspect', now), params, now);
  return next.status === 'ready' ? next : enter(next, 'ready', now);
}

/**
 * A poll failed. A slow inventory on a node that serves meanwhile is no failure of the node: its view only grows stale.
 * Any other failed poll makes it suspect at once, and `downAfter` of them down, unless it has served lately.
 */
export function healthAfterPollFailure(
  health: Health,
  failure: PollFailed,
  params: HealthParams,
  now: number,
): Health {
  const { reason, detail } = failure;
  const noted: Health = { ...health, lastFailure: { reason, source: 'poll', detail, at: now } };
  if (reason === 'busy') return { ...noted, busyUntil: busyUntil(health, undefined, now) };
  if (reason === 'timeout' && isServing(health, now, SERVES_NOW_MS)) return keepLiveFailure(health, noted);
  const blame = isServing(health, now, LIVE_TRUST_MS) ? 'shaky' : 'dead';
  return keepLiveFailure(health, struck(noted, blame, params, now));
}

export function healthAfterAttemptFailure(
  health: Health,
  failure: AttemptFailed,
  params: HealthParams,
  now: number,
): Health {
  const { reason, model } = failure;
  if (reason === 'model_missing') return health;
  const noted: Health = {
    ...health,
    failureRate: failureRateAfter(
      fadedFailureRate(health, now),
      reason,
      isFailing(health.stuckModels, model),
    ),
    lastFailure: { reason, source: 'live', detail: `request for ${model}`, at: now },
    stuckModels: strikeModel(health.stuckModels, model, now, reason),
  };
  if (reason === 'busy') return { ...noted, busyUntil: busyUntil(noted, failure.retryAfterMs, now) };
  if (reason === 'timeout') return noted;
  const blame = LIVE_BLAME[reason];
  return blame === 'none' ? noted : struck(noted, blame, params, now);
}

function struck(health: Health, blame: 'dead' | 'shaky', params: HealthParams, now: number): Health {
  const most = blame === 'dead' ? params.downAfter : Math.max(health.strikes, params.downAfter - 1);
  const strikes = Math.min(health.strikes + 1, most);
  const next: Health = { ...health, strikes, goodSince: undefined };
  if (health.status === 'down') return next;
  if (strikes < params.downAfter || blame === 'shaky') return enter(next, 'suspect', now);
  const flaps = Math.min(MAX_FLAPS, flapsLeft(health, now) + 1);
  return { ...enter(next, 'down', now), flaps };
}

function readmitted(health: Health, params: HealthParams, now: number): Health {
  if (health.status === 'ready' || !isOver(health, params, now)) return health;
  const ready = enter(health, 'ready', now);
  // What made it down was judged by its time down and is tried by slow start: the rate would shut it out far longer, and so would
  // the answers of its models that broke off as it died.
  return health.status === 'down' ? { ...ready, failureRate: 0, stuckModels: new Map() } : ready;
}

function isOver(health: Health, params: HealthParams, now: number): boolean {
  return health.goodSince !== undefined && now - health.goodSince >= readmissionMs(health.flaps, params);
}

function enter(health: Health, status: Status, now: number): Health {
  if (health.status === status) return health;
  return { ...health, status, since: now, flaps: flapsLeft(health, now) };
}

/** Time in service forgives; time spent down or suspect does not. */
function flapsLeft(health: Health, now: number): number {
  if (health.status !== 'ready') return health.flaps;
  return Math.max(0, health.flaps - Math.floor(Math.max(0, now - health.since) / FLAP_DECAY_MS));
}

/** The more of its requests fail, the longer a busy node is left alone; a wait that it asks for itself is kept. */
function busyUntil(health: Health, retryAfterMs: number | undefined, now: number): number {
  const pause = retryAfterMs ?? BUSY_MS * (1 + 9 * health.failureRate);
  return Math.max(health.busyUntil, now + Math.min(MAX_BUSY_MS, Math.max(0, pause)));
}

/** Served a request within the last `withinMs`, and none was refused since. */
function isServing(health: Health, now: number, withinMs: number): boolean {
  const { servedAt, strikes, lastFailure } = health;
  if (servedAt === undefined || now - servedAt >= withinMs) return false;
  return strikes === 0 || lastFailure?.source !== 'live';
}

/** A failed poll does not hide that requests fail: their strikes would be forgiven by the next good poll. */
function keepLiveFailure(before: Health, after: Health): Health {
  const isLive = before.lastFailure?.source === 'live' && before.strikes > 0;
  return isLive ? { ...after, lastFailure: before.lastFailure } : after;
}
