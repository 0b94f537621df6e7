export { buildApp, VERSION } from './app.ts'
export { type ControlPlaneConfig, readConfig } from './config.ts'
export { type ControlPlane, startControlPlane } from './control-plane.ts'
