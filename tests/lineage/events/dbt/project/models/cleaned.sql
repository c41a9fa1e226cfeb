{{ config(materialized='table') }}
select id, label from (values (1, 'a'), (2, 'b')) as delivered(id, label) where label is not null
