import { afterAll, beforeAll } from 'vitest';
import { KubeApiServer, realKubeApiServer } from '../support/kube-apiserver.ts';
import { describeReal } from '../support/require-real.ts';
import { poolsSuite } from './kubernetes/pools.ts';
import { recipesSuite } from './kubernetes/recipes.ts';
import { releasesSuite } from './kubernetes/releases.ts';
import { rolesSuite } from './kubernetes/roles.ts';
import { servingSuite } from './kubernetes/serving.ts';
import { slicesSuite } from './kubernetes/slices.ts';

// One API server for all: to start it takes longer than most of what is asked of it.
describeReal(realKubeApiServer(), 'a real Kubernetes API server', (path) => {
  let server: KubeApiServer;

  beforeAll(async () => {
    server = await KubeApiServer.start(path);
  }, 120_000);

  afterAll(() => server?.stop());

  // The first finds a cluster without definitions.
  poolsSuite(() => server);
  rolesSuite(() => server);
  servingSuite(() => server);
  recipesSuite(() => server);
  releasesSuite(() => server);
  slicesSuite(() => server);
});
