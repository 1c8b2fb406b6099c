export { Router, type RouterDependencies } from './routing/router.ts';
