-- best first
SELECT category, id FROM top ORDER BY 1;

