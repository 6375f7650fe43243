// Stoker's monitoring mixin: { grafanaDashboards, prometheusAlerts, prometheusRules }.
{
  grafanaDashboards+:: { 'stoker.json': import 'dashboards/stoker.json' },
  prometheusAlerts+:: std.parseYaml(importstr 'alerts.yaml'),
  prometheusRules+:: { groups: [] },
}
