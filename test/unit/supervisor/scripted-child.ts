// A control plane as its supervisor sees it. The first argument says how it behaves.
const [role] = process.argv.slice(2);
const say = (message: object): boolean | undefined => process.send?.(message);
const tell = (id: string): boolean | undefined => say({ type: 'fleet', nodes: [{ id }] });

process.on('message', (message) => tell(`told ${JSON.stringify(message)}`));
process.on('disconnect', () => process.exit(0));
process.on('SIGHUP', () => tell('hung up'));
process.on('SIGTERM', () => {
  tell('terminated');
  if (role !== 'stubborn') process.exit(0);
});

if (role === 'cannot-start') process.exit(1);
if (role === 'killed') process.kill(process.pid, 'SIGKILL');
say({ type: 'listening' });
if (role === 'crashes') setImmediate(() => process.exit(70));
