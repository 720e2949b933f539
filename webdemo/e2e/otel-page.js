// A shop that uses stock OpenTelemetry packages for browsers: logs with the instrumentations of errors and web
// vitals, traces with a span that records an exception, metrics with a histogram, each by its OTLP/HTTP exporter.
import {metrics, trace} from '@opentelemetry/api';
import {logs} from '@opentelemetry/api-logs';
import {ErrorsInstrumentation} from '@opentelemetry/browser-instrumentation/experimental/errors';
import {WebVitalsInstrumentation} from '@opentelemetry/browser-instrumentation/experimental/web-vitals';
import {OTLPLogExporter} from '@opentelemetry/exporter-logs-otlp-http';
import {OTLPMetricExporter} from '@opentelemetry/exporter-metrics-otlp-http';
import {OTLPTraceExporter} from '@opentelemetry/exporter-trace-otlp-http';
import {registerInstrumentations} from '@opentelemetry/instrumentation';
import {resourceFromAttributes} from '@opentelemetry/resources';
import {BatchLogRecordProcessor, LoggerProvider} from '@opentelemetry/sdk-logs';
import {MeterProvider, PeriodicExportingMetricReader} from '@opentelemetry/sdk-metrics';
import {BatchSpanProcessor, WebTracerProvider} from '@opentelemetry/sdk-trace-web';

const params = new URL(location.href).searchParams;
const exporter = (signal) => ({url: `${params.get('otlp')}/v1/${signal}`, headers: {'x-sentry-auth': `sentry sentry_key=${params.get('key')}`}});
const resource = resourceFromAttributes({
  'service.name': 'harbour-shop', 'service.version': 'shop@1.4.2', 'deployment.environment.name': 'production',
  'telemetry.sdk.language': 'webjs', 'user_agent.original': navigator.userAgent,
});

const loggers = new LoggerProvider({resource, processors: [new BatchLogRecordProcessor({exporter: new OTLPLogExporter(exporter('logs')), scheduledDelayMillis: 200})]});
logs.setGlobalLoggerProvider(loggers);
const tracers = new WebTracerProvider({resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(exporter('traces')), {scheduledDelayMillis: 200})]});
tracers.register();
const meters = new MeterProvider({resource, readers: [new PeriodicExportingMetricReader({exporter: new OTLPMetricExporter(exporter('metrics')), exportIntervalMillis: 60_000})]});
metrics.setGlobalMeterProvider(meters);
registerInstrumentations({instrumentations: [new ErrorsInstrumentation(), new WebVitalsInstrumentation()]});

function payForCart() {
  throw new TypeError('cart is undefined');
}

function chargeCard() {
  throw new RangeError('card refused');
}

document.getElementById('pay').addEventListener('click', payForCart);
document.getElementById('trace').addEventListener('click', () => {
  trace.getTracer('shop').startActiveSpan('POST /pay', (span) => {
    try {
      chargeCard();
    } catch (err) {
      span.recordException(err);
    }
    span.end();
  });
  logs.getLogger('shop').emit({severityNumber: 9, severityText: 'INFO', body: 'paid by hand'});
  metrics.getMeter('shop').createHistogram('web_vitals.inp', {unit: 'ms'}).record(64);
  metrics.getMeter('shop').createCounter('clicks').add(1);
});
window.shop = {flush: () => Promise.all([loggers.forceFlush(), tracers.forceFlush(), meters.forceFlush()])};
document.body.dataset.ready = 'yes';
