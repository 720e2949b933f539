// The script builds: `breakwater.start({...})` for pages without a bundler.
import {current, start} from './index';

Object.assign(globalThis, {breakwater: {start, current}});
