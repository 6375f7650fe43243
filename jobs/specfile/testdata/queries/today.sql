SELECT id FROM orders WHERE day = 'today';
