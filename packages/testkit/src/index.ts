export { type ToolPaths, testUrl, toolPaths } from './config.ts'
export { type FreshDatabase, freshDatabase, rowsOf } from './databases.ts'
export { type FreshRedis, freshRedis, startTestPostgres, startTestValkey } from './services.ts'
export { type Answer, SimulatedDevice, type SimulatedDeviceOptions } from './simulated-device.ts'
